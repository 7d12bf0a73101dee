UPDATE contacts SET name = 'Test User ' || id, email = 'test' || id || '@example.com', phone = '555-0123';
