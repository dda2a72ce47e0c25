# SPDX-License-Identifier: MIT
"""What the tests of weir-mock's fault rules share: a mock whose rules are set while it runs, and its own counts."""
import json
import os
import re
import urllib.parse

import faultlib
import lib
from lib import equal, wait_until

INFER = {"model_id": "bitnet-7b", "prompt": "tell me"}


def infer_body(**more):
    return json.dumps(dict(INFER, **more)).encode()


class Mock(faultlib.Mock):
    """A mock with a configuration. Its administration has a port of its own, which no rule for connections strikes."""

    def __init__(self, config=None, *options):
        path = os.path.join(lib.temp_dir(), "mock.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config or {}, file)
        self.admin = None
        super().__init__("--config", path, "--admin", "0", *options)

    def ask(self, method, path, body=None, headers=None):
        if self.admin is None:
            self.admin = ("127.0.0.1", int(re.search(r"admin on 127\.0\.0\.1:([0-9]+)\n", self.stdout)[1]))
        if not path.startswith(("/admin", "/metrics")):
            return super().ask(method, path, body, headers)
        public, self.address = self.address, self.admin
        try:
            return super().ask(method, path, body, headers)
        finally:
            self.address = public

    def set_rules(self, *rules):
        """These and no others, which count from now on."""
        body = json.dumps({"faults": list(rules)})
        status, _, answer = self.ask("PATCH", "/admin/config", body, {"Content-Type": "application/json"})
        equal(status, 200, f"PATCH of {body}: {answer}")
        self.reset()

    def post_rule(self, rule):
        status, _, answer = self.ask("POST", "/admin/faults", json.dumps(rule), {"Content-Type": "application/json"})
        equal(status, 201, f"POST of {rule}: {answer}")

    def states(self):
        return {rule["id"]: rule["state"] for rule in self.get_json("/admin/faults")["faults"]}

    def state(self, rule_id, *keys):
        state = self.states()[rule_id]
        return tuple(state[key] for key in keys) if keys else state

    def count(self, **filters):
        """How many records of the journal match."""
        return self.get_json(f"/admin/requests/count?{urllib.parse.urlencode(filters, safe='/*,')}")["count"]

    def await_count(self, expected, **filters):
        """The journal has so many: a record is there only when all of its request is over."""
        wait_until(lambda: self.count(**filters) >= expected, f"{expected} records with {filters}")
        equal(self.count(**filters), expected, f"records with {filters}")

    def settled(self):
        """Nothing is open at all: who asks has come to the other port."""
        stats = self.stats()
        return (stats["connections"]["active"] == 0 and stats["queue"]["depth"] == 0 and
                stats["concurrency"]["active"] == 0 and self.metrics()["mock_inflight_requests"] == 0)
