-- The dual architecture in the flesh: an application release brought the phases columns, nullable and without defaults.
ALTER TABLE campaigns
    ADD COLUMN current_phase text,
    ADD COLUMN phase_status text,
    ADD COLUMN progress numeric(5, 2);
COMMENT ON COLUMN campaigns.current_phase IS 'Where the campaign is in the workflow. Being introduced.';
