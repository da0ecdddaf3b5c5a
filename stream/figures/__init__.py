"""What dashboards, analytics, reports and exports of the EV-CMS family are made of."""
