"""JSON Schemas: how much work a check may be, and the checks themselves."""
