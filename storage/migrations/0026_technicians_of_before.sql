-- A technician of before 0019 has no profile: nobody could be given work without one. Now each begins as new ones do.
INSERT INTO technicians (user_id, dealer_id)
SELECT technician.id, dealer.id
FROM users AS technician LEFT JOIN users AS dealer ON dealer.id = technician.dealer_id AND dealer.role = 'dealer'
WHERE technician.system = 'ienerzy' AND technician.role = 'technician'
ON CONFLICT DO NOTHING;
