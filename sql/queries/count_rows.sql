-- How many campaigns and domains there are.
SELECT (SELECT count(*) FROM campaigns) AS campaigns, (SELECT count(*) FROM generated_domains) AS domains
