// A driver's first minutes, by the TypeScript client: node build/visit.js <url> <name>; prints what it saw as JSON.
import createClient from "openapi-fetch";
import type { components, paths } from "@gridwire/evcms";

type Station = components["schemas"]["StationOut"];

const [url, name] = process.argv.slice(2);
const password = "correct horse";
const email = `${name}@example.com`;
const client = createClient<paths>({ baseUrl: url });

const registered = await client.POST("/api/v1/auth/register", {
  body: { email, password, name, role: "user" },
});
if (registered.error) throw new Error(registered.error.message);

const login = await client.POST("/api/v1/auth/login", { body: { email, password } });
if (login.error) throw new Error(login.error.message);
const token: string = login.data.data.accessToken;
client.use({
  onRequest({ request }) {
    request.headers.set("Authorization", `Bearer ${token}`);
    return request;
  },
});

const nearby = await client.GET("/api/v1/stations/nearby", {
  params: { query: { latitude: 12.97, longitude: 77.59, radius: 20_000 } },
});
if (nearby.error) throw new Error(nearby.error.message);
const stations: Pick<Station, "name">[] = nearby.data.data;

const wallet = await client.GET("/api/v1/profile/wallet");
if (wallet.error) throw new Error(wallet.error.message);
const balance: number = wallet.data.data.balance;

const sessions = await client.GET("/api/v1/sessions", { params: { query: { limit: 5 } } });
if (sessions.error) throw new Error(sessions.error.message);
const total: number = sessions.data.pagination.total;

const missing = await client.GET("/api/v1/stations/{id}", { params: { path: { id: "999" } } });
const invalid = await client.POST("/api/v1/profile/wallet/pay", { body: { amount: -1, description: "Parking" } });
if (!missing.error || !invalid.error) throw new Error("this must be refused");
const fields = "errors" in invalid.error ? (invalid.error.errors ?? []).map((each) => each.field) : [];

console.log(
  JSON.stringify({
    user: login.data.data.user.email,
    stations: stations.map((each) => each.name),
    balance,
    sessions: total,
    remaining: Number(sessions.response.headers.get("X-RateLimit-Remaining")),
    missing: missing.error.statusCode,
    invalid: [invalid.error.statusCode, ...fields],
  }),
);
