"""`make outcomes`: writes docs/outcomes.md."""

from tests.faults.page import PAGE, page

if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
