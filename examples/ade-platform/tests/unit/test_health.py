import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "app"))
import health  # noqa: E402


class Health(unittest.TestCase):
    def test_a_server_that_just_began_is_well(self):
        self.assertTrue(health.is_well(0.0))
