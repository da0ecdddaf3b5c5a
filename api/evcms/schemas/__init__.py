"""Bodies of EV-CMS: camelCase, opaque string ids, timestamps with milliseconds and Z."""
