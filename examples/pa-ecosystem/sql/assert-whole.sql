-- What must be true of a database that could take production's place.
DO $$
DECLARE
    contacts bigint;
BEGIN
    SELECT count(*) INTO contacts FROM contacts;
    IF contacts = 0 THEN
        RAISE EXCEPTION 'there are no contacts';
    END IF;
    RAISE NOTICE '% contacts', contacts;
END
$$;
ANALYZE contacts;
