import unittest

from agentorchestrator import agents


class Agents(unittest.TestCase):
    def test_an_agent_says_how_it_is(self):
        self.assertEqual(agents.describe("writer"), "writer is ready")
        self.assertEqual(agents.describe("writer", debug=True), "writer is ready (2 of 3)")

    def test_nobody_else_does(self):
        with self.assertRaises(KeyError):
            agents.describe("nobody")
