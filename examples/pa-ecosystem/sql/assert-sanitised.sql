-- Not what was meant to be rewritten is looked for, but whatever is still real.
DO $$
DECLARE
    real bigint;
BEGIN
    SELECT count(*) INTO real FROM contacts
    WHERE name !~ '^Test User \d+$' OR email !~ '^test\d+@example\.com$' OR phone <> '555-0123';
    IF real > 0 THEN
        RAISE EXCEPTION '% of % contacts are still real', real, (SELECT count(*) FROM contacts);
    END IF;
END
$$;
