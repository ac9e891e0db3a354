-- The history of policies is shown without their documents, and with their presets.
-- A document of before names its preset on a line of its own, as this program writes it.
ALTER TABLE policies ADD COLUMN preset TEXT NOT NULL DEFAULT '';
UPDATE policies SET preset = CASE
	WHEN instr(char(10) || document, char(10) || 'preset = "personal"') > 0 THEN 'personal'
	WHEN instr(char(10) || document, char(10) || 'preset = "community"') > 0 THEN 'community'
	WHEN instr(char(10) || document, char(10) || 'preset = "organisation"') > 0 THEN 'organisation'
	ELSE '' END;
