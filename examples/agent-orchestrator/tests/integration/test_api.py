"""Asks the API that is up in this environment."""

import json
import os
import unittest
import urllib.error
import urllib.request

URL = f"http://localhost:{os.environ['PORT']}/api/v1/"


def ask(path, key=None):
    request = urllib.request.Request(URL + path, headers={"X-API-Key": key} if key else {})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


class Api(unittest.TestCase):
    def test_it_is_the_one_of_this_environment(self):
        self.assertEqual(ask("health")["app"], os.environ["APP_NAME"])

    @unittest.skipUnless(os.environ.get("AUTH_ENABLED") == "true", "it asks for no key here")
    def test_only_the_key_opens_it(self):
        with self.assertRaises(urllib.error.HTTPError):
            ask("agents/planner")
        self.assertIn("planner", ask("agents/planner", os.environ["AUTH_DEFAULT_KEY"])["agent"])
