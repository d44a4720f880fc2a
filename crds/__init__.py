"""What users write: Pydantic models of the kinds, and the CRD YAML that is generated from them."""
