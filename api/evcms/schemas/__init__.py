"""What EV-CMS takes and gives, one module a noun: pydantic models, and how rows become them."""
