// An admin's first minutes, by the TypeScript client: node build/visit_lithovolt.js <url> <e-mail>; prints what
// it saw as JSON.
import createClient from "openapi-fetch";
import type { components, paths } from "@gridwire/lithovolt";

type Model = components["schemas"]["NewModel"];
type Refusal = components["schemas"]["Detail"] | components["schemas"]["FieldErrors"];

const [url, email] = process.argv.slice(2);
const client = createClient<paths>({ baseUrl: url });

function why(refusal: Refusal): Error {
  return new Error(JSON.stringify(refusal));
}

const login = await client.POST("/api/auth/login/", { body: { email, password: "correct horse" } });
if (login.error) throw why(login.error);
const access: string = login.data.access;
client.use({
  onRequest({ request }) {
    request.headers.set("Authorization", `Bearer ${access}`);
    return request;
  },
});

const wanted: Model = {
  name: "LV 48-100",
  code: "LV48",
  nominal_voltage_v: "51.20",
  capacity_ah: "100.00",
  price: "45000.50",
  warranty_months: 36,
};
const model = await client.POST("/api/inventory/models/", { body: wanted });
if (model.error) throw why(model.error);
const made = await client.POST("/api/inventory/serials/", { body: { model: model.data.id, quantity: 3 } });
if (made.error) throw why(made.error);
const page = await client.GET("/api/inventory/serials/", { params: { query: { page_size: 2 } } });
if (page.error) throw why(page.error);
const serial: string = page.data.results[0].serial;
const verified = await client.GET("/api/warranty/verify/{serial}/", { params: { path: { serial } } });
if (verified.error) throw why(verified.error);
const missing = await client.GET("/api/inventory/models/{id}/", { params: { path: { id: "999" } } });
const invalid = await client.POST("/api/inventory/models/", { body: { ...wanted, price: "-1.00" } });
if (!missing.error || !invalid.error) throw new Error("this must be refused");

console.log(
  JSON.stringify({
    price: model.data.price,
    serials: [page.data.count, ...page.data.results.map((each) => each.status)],
    warranty: verified.data.status,
    missing: missing.response.status,
    invalid: Object.keys(invalid.error),
  }),
);
