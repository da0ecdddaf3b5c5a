"""The portal of the Mobile family: /api/mobile/admin, for users of system `mobile` with role `admin`."""
