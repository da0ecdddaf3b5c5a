"""The callbacks role: network servers and operators that send what they heard by HTTP."""
