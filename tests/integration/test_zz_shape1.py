from __future__ import annotations
import pytest
from tests.chain import Chain
SMALL={"campaigns":60,"domains":1500}

SHORT="""DROP INDEX idx_campaigns_user_active, idx_campaigns_launch_pending;
UPDATE campaigns SET campaign_type='domain_generation' WHERE campaign_type = 'http_keyword_validation';
ALTER TABLE campaigns DROP CONSTRAINT chk_campaigns_campaign_type;
ALTER TABLE campaigns ALTER campaign_type TYPE varchar(20), ALTER status TYPE varchar(9)"""
FEWDOMAIN="""
CREATE DOMAIN ctype AS text CHECK (VALUE IN ('domain_generation','dns_validation','http_keyword_validation','comprehensive','automated'));
UPDATE campaigns SET campaign_type='domain_generation' WHERE campaign_type IN ('analysis');
ALTER TABLE campaigns ALTER campaign_type TYPE ctype;
"""
NULLS="""ALTER TABLE campaigns ALTER campaign_type DROP NOT NULL, ALTER status DROP NOT NULL; 
UPDATE campaigns SET campaign_type = NULL WHERE id IN (SELECT id FROM campaigns ORDER BY id LIMIT 5);
UPDATE campaigns SET status = NULL WHERE id IN (SELECT id FROM campaigns ORDER BY id LIMIT 3)"""
PARTLYVARCHAR="""ALTER TABLE campaigns ADD current_phase varchar(50), ADD phase_status varchar(50) DEFAULT 'not_started', ADD domains bigint;
UPDATE campaigns SET current_phase = 'generation' , phase_status = CASE WHEN status IN ('pending','queued') THEN 'not_started' END WHERE campaign_type = 'domain_generation';
UPDATE campaigns SET phase_status = NULL WHERE status NOT IN ('pending','queued');
CREATE INDEX mine ON campaigns (current_phase);
CREATE VIEW phases AS SELECT id, current_phase, phase_status FROM campaigns;
"""
PHASEENUM="""CREATE TYPE ph AS ENUM ('setup','generation','dns_validation','http_keyword_validation','analysis');
CREATE TYPE phs AS ENUM ('not_started','in_progress','paused','completed','failed');
ALTER TABLE campaigns ADD current_phase ph, ADD phase_status phs DEFAULT 'not_started', ADD domains bigint;
UPDATE campaigns SET phase_status = NULL;
"""
METRICSINT="""ALTER TABLE campaigns ADD domains integer NOT NULL DEFAULT 0, ADD leads integer, ADD progress double precision DEFAULT 0"""
EXTRA="""
CREATE TYPE pair AS (a int, b text);
ALTER TABLE campaigns ADD COLUMN serial_no bigint GENERATED ALWAYS AS IDENTITY, ADD COLUMN tags text[] DEFAULT '{a,b}' NOT NULL,
 ADD COLUMN extra jsonb NOT NULL DEFAULT '{}', ADD COLUMN both_of pair, ADD COLUMN name_length integer GENERATED ALWAYS AS (length(name)) STORED,
 ADD COLUMN "Odd Name" text, ADD COLUMN revision integer NOT NULL DEFAULT 0, ADD COLUMN js json, ADD COLUMN gps point;
UPDATE campaigns SET both_of = ROW(1,'x'), js='{"a":1}', gps='(1,2)';
CREATE FUNCTION stamp_revision() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.revision := NEW.revision + 1; NEW."Odd Name" := now()::text; RETURN NEW; END';
CREATE TRIGGER stamp_revision BEFORE UPDATE ON campaigns FOR EACH ROW EXECUTE FUNCTION stamp_revision();
ALTER TABLE campaign_events ALTER CONSTRAINT campaign_events_campaign_id_fkey DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE generated_domains ALTER CONSTRAINT generated_domains_campaign_fkey DEFERRABLE INITIALLY DEFERRED;
"""
SHAPES = {k:v for k,v in globals().items() if k.isupper() and isinstance(v,str)}
@pytest.mark.parametrize("name", SHAPES)
async def test_shape(sample_factory, name):
    chain = Chain(await sample_factory(**SMALL))
    if name == "NULLS": chain.options = {"map_null_campaign_type": "generation", "map_null_status": "failed"}
    await chain.execute(SHAPES[name])
    report = await chain.preflight()
    print([f"{f.severity} {f.code} {f.message}" for f in report.findings])
    await chain.there_and_back()
@pytest.mark.parametrize("schema", ["Campaign Data"])
async def test_schema(sample_factory, schema):
    chain = Chain(await sample_factory(**SMALL, schema=schema), schema)
    report = await chain.preflight()
    print([f"{f.severity} {f.code} {f.message}" for f in report.findings])
    await chain.there_and_back()
