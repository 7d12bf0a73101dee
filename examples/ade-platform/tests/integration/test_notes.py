import http.client
import os
import unittest


def ask(method, path, body=None, token=None):
    connection = http.client.HTTPConnection("localhost", int(os.environ["API_PORT"]), timeout=5)
    connection.request(method, path, body, {"Authorization": "Bearer " + token} if token else {})
    answer = connection.getresponse()
    return answer.status, answer.read().decode().strip()


class Notes(unittest.TestCase):
    def test_a_note_is_there_once_it_is_written(self):
        self.assertEqual(ask("POST", "/notes", "hello", os.environ["API_TOKEN"])[0], 201)
        self.assertEqual(ask("GET", "/notes")[1].split(",")[-1], "hello")

    def test_without_the_token_nothing_is_written(self):
        self.assertEqual(ask("POST", "/notes", "hello", "a guess")[0], 401)
