"""Writes the dashboards' JSON beside the code: `python -m deploy.grafana`."""

from pathlib import Path

from deploy.grafana import fleet, plugin, prober

BOARDS = {"fleet.json": fleet.BOARD, "plugin.json": plugin.BOARD, "prober.json": prober.BOARD}


def main() -> None:
    for name, board in BOARDS.items():
        (Path(__file__).parent / name).write_text(board.text(), encoding="utf-8")


if __name__ == "__main__":
    main()
