# Rewrites the dump in $SNAPSHOT with SQL files, in a scratch database that is gone afterwards. A script that fails fails it
# all: what is not proved is not loaded. All of it is one transaction: whatever is killed in the middle leaves nothing in the
# scratch database that was not rewritten and proved.
set -eu
scratch=scratch_$PGDATABASE
dropdb --force --if-exists "$scratch" 2> /dev/null
trap 'dropdb --force --if-exists "$scratch"' EXIT
createdb "$scratch"
pg_restore --no-owner -f "$SNAPSHOT/raw.sql" "$SNAPSHOT/db.dump"
for file; do
    shift
    set -- "$@" -f "$file"
done
# The dump sets an empty search path.
psql -q --single-transaction -v ON_ERROR_STOP=1 -d "$scratch" -f "$SNAPSHOT/raw.sql" -c "RESET ALL" "$@" > /dev/null
rm "$SNAPSHOT/raw.sql"
pg_dump -Fc -d "$scratch" -f "$SNAPSHOT/db.dump.new"
mv "$SNAPSHOT/db.dump.new" "$SNAPSHOT/db.dump"
