"""Where a plugin is called."""

from urllib.parse import quote

from worker.core.target import TargetKey
from worker.settings import ApiSettings


def target_url(api: ApiSettings, key: TargetKey) -> str:
    """The URL of a plugin's realtime/test, its ids percent-encoded whole."""
    path = api.path.replace("{namespace}", quote(key.namespace, safe=""))
    return api.base_url + path.replace("{plugin}", quote(key.plugin, safe=""))
