"""Where a plugin is called."""

from urllib.parse import quote

from yarl import URL

from worker.core.target import TargetKey
from worker.settings import ApiSettings


def target_url(api: ApiSettings, key: TargetKey) -> URL:
    """The URL of a plugin's realtime/test, its ids percent-encoded whole."""
    path = api.path.replace("{namespace}", quote(key.namespace, safe=""))
    path = path.replace("{plugin}", quote(key.plugin, safe=""))
    # encoded: yarl would turn %2F in an id back into a slash
    return URL(api.base_url + path, encoded=True)
