"""`migrate.py DB FOLDER` runs what the database has not seen yet, in order of names, each in a transaction of its own."""

import os
import sqlite3
import sys

database, folder = sqlite3.connect(sys.argv[1], isolation_level=None), sys.argv[2]
database.execute("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY)")
done = {name for (name,) in database.execute("SELECT name FROM migrations")}
for name in sorted(os.listdir(folder)):
    if name.endswith(".sql") and name not in done:
        with open(os.path.join(folder, name)) as file:
            text = file.read()
        # One piece: what fails half way has changed nothing.
        database.executescript(f"BEGIN; {text}; INSERT INTO migrations VALUES ('{name}'); COMMIT;")
        print("ran", name)
