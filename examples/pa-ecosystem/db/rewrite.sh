# Rewrites the dump in $SNAPSHOT with SQL files, in a scratch database that is gone afterwards, whatever happens. A script
# that fails fails it all: what is not proved is not loaded.
set -eu
scratch=scratch_$PGDATABASE
dropdb --force --if-exists "$scratch" 2> /dev/null
trap 'dropdb --force --if-exists "$scratch"' EXIT
createdb "$scratch"
pg_restore --no-owner --exit-on-error -d "$scratch" "$SNAPSHOT/db.dump"
for file; do
    psql -q -v ON_ERROR_STOP=1 -d "$scratch" -f "$file"
done
pg_dump -Fc -d "$scratch" -f "$SNAPSHOT/db.dump.new"
mv "$SNAPSHOT/db.dump.new" "$SNAPSHOT/db.dump"
