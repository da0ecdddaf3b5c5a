// A dealer's first minutes, by the TypeScript client: node build/visit_ienerzy.js <url> <phone>, the one-time
// password on standard input; prints what it saw as JSON.
import { createInterface } from "node:readline/promises";
import createClient from "openapi-fetch";
import type { components, paths } from "@gridwire/ienerzy";

type Battery = components["schemas"]["ListedBattery"];

const [url, phone] = process.argv.slice(2);
const serial = "BAT002";
const client = createClient<paths>({ baseUrl: url });

const sent = await client.POST("/api/auth/login", { body: { phone, userType: "dealer" } });
if (sent.error) throw new Error(sent.error.error);
const input = createInterface({ input: process.stdin });
const otp = await input.question("");
input.close();
const verified = await client.POST("/api/auth/verify-otp", { body: { phone, otp } });
if (verified.error) throw new Error(verified.error.error);
const token: string = verified.data.token;
client.use({
  onRequest({ request }) {
    request.headers.set("Authorization", `Bearer ${token}`);
    return request;
  },
});

const battery = await client.POST("/api/batteries", { body: { serial_number: serial } });
if (battery.error) throw new Error(battery.error.error);
const twice = await client.POST("/api/batteries", { body: { serial_number: serial } });
const consumer = await client.POST("/api/consumers", {
  body: { name: "Ram Kumar", phone: "+919876512345", pan: "ABCDE1234F", aadhar: "234123412346" },
});
if (consumer.error) throw new Error(consumer.error.error);
await client.PUT("/api/batteries/{serial}/assign", {
  params: { path: { serial } },
  body: { consumer_id: consumer.data.id },
});
const application = await client.POST("/api/finance/applications", {
  body: {
    consumer_id: consumer.data.id,
    battery_id: battery.data.id,
    amount: 45_000,
    tenure_months: 24,
    interest_rate: 12.5,
  },
});
if (application.error) throw new Error(application.error.error);

const listed = await client.GET("/api/batteries");
if (listed.error) throw new Error(listed.error.error);
const batteries: Pick<Battery, "serial_number" | "consumer_name">[] = listed.data;
const dashboard = await client.GET("/api/analytics/dealer-dashboard");
if (dashboard.error) throw new Error(dashboard.error.error);
const missing = await client.GET("/api/batteries/{serial}", { params: { path: { serial: "BAT999" } } });
if (!twice.error || !missing.error) throw new Error("this must be refused");

console.log(
  JSON.stringify({
    batteries: batteries.map((each) => [each.serial_number, each.consumer_name]),
    application: [application.data.status, application.data.amount],
    consumers: dashboard.data.consumer_metrics.total_consumers,
    twice: twice.error.code,
    missing: [missing.response.status, missing.error.error],
  }),
);
