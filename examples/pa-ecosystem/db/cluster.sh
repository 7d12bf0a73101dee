# PostgreSQL of one environment. `start` makes it the first time; `stop` ends it; the data stay.
set -eu
bin=$(ls -d /usr/lib/postgresql/*/bin 2> /dev/null | sort -V | tail -1)
bin=${bin:-$(pg_config --bindir)}
case "$CLUSTER" in
    /*) dir="$CLUSTER" ;;
    *) dir="$PWD/$CLUSTER" ;;
esac
as() { "$@"; }
if [ "$(id -u)" = 0 ]; then
    # PostgreSQL refuses to be root, and its own user cannot look into root's folders.
    as() { runuser -u postgres -- "$@"; }
    case "$CLUSTER" in
        /*) ;;
        *) dir="/var/lib/postgresql/pa-$(printf %s "$dir" | cksum | tr ' ' -)" ;;
    esac
fi
cd /
ctl() { as "$bin/pg_ctl" -D "$dir" -w -s -l "$dir.log" "$@"; }

if [ "$1" = stop ]; then
    ctl -m fast stop
    exit
fi
if [ ! -e "$dir/PG_VERSION" ]; then
    as mkdir -p "$(dirname "$dir")"
    rm -rf "$dir.new" "$dir.password"
    (umask 077 && printf %s "$PGPASSWORD" > "$dir.password")
    [ "$(id -u)" != 0 ] || chown postgres "$dir.password"
    as "$bin/initdb" -D "$dir.new" -U "$PGUSER" --pwfile="$dir.password" -A scram-sha-256 -E UTF8 --locale=C --no-sync > /dev/null
    rm "$dir.password"
    as mv "$dir.new" "$dir"
fi
# PostgreSQL writes 32MB where we write 32MiB, and means the same.
limits="-c shared_buffers=${MEMORY_LIMIT%iB}B"
[ "$DEBUG" != true ] || limits="$limits -c log_statement=all"
ctl -o "-p $PGPORT $limits -c listen_addresses=localhost -c unix_socket_directories=''" start
psql -tA -d postgres -c "SELECT 1 FROM pg_database WHERE datname = '$PGDATABASE'" | grep -q 1 || createdb "$PGDATABASE"
