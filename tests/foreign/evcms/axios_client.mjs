// The same API as a page with axios has it: the token in each request, and one refresh for all that were refused.
import axios from "axios";

export const api = axios.create({ baseURL: process.env.REACT_APP_API_URL, timeout: 10_000 });

api.interceptors.request.use((config) => {
  const token = localStorage.getItem("accessToken");
  if (token) config.headers.Authorization = `Bearer ${token}`;
  return config;
});

let refreshing = null;

async function refresh() {
  const { data } = await axios.post(`${api.defaults.baseURL}/api/v1/auth/refresh-token`, {
    refreshToken: localStorage.getItem("refreshToken"),
  });
  localStorage.setItem("accessToken", data.data.accessToken);
  localStorage.setItem("refreshToken", data.data.refreshToken);
}

api.interceptors.response.use(
  (response) => response.data,
  async (error) => {
    const request = error.config;
    if (error.response?.status !== 401 || request.isSecond) throw error;
    request.isSecond = true;
    refreshing ??= refresh().finally(() => { refreshing = null; });
    await refreshing;
    return api(request);
  },
);
