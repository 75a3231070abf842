"""The inventory as a JSON file."""

import json
from pathlib import Path


class Store:
    def __init__(self, path):
        self.path = Path(path)
        self.items = json.loads(self.path.read_text()) if self.path.exists() else {}

    def put(self, name, count, shelf):
        item = self.items.setdefault(name, {"count": 0, "shelf": shelf})
        item["count"] += count
        item["shelf"] = shelf

    def take(self, name, count):
        item = self.items.get(name)
        if item is None or item["count"] < count:
            raise KeyError(f"there are not {count} of {name}")
        item["count"] -= count
        if item["count"] == 0:
            del self.items[name]

    def save(self):
        self.path.write_text(json.dumps(self.items, indent=2, sort_keys=True) + "\n")
