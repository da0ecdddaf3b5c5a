// Client code of the EV-CMS contract, unchanged: sign-in, requests, search.
// The harness provides what a page would: localStorage, API_URL and what is called here without being defined.

// Login
const login = async (email, password) => {
  const response = await fetch(`${API_URL}/api/v1/auth/login`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ email, password })
  });
  const data = await response.json();
  
  if (data.success) {
    localStorage.setItem('accessToken', data.data.accessToken);
    localStorage.setItem('refreshToken', data.data.refreshToken);
    return data.data.user;
  }
};

// Auto-refresh token
const refreshAccessToken = async () => {
  const refreshToken = localStorage.getItem('refreshToken');
  const response = await fetch(`${API_URL}/api/v1/auth/refresh-token`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ refreshToken })
  });
  const data = await response.json();
  
  if (data.success) {
    localStorage.setItem('accessToken', data.data.accessToken);
    localStorage.setItem('refreshToken', data.data.refreshToken);
  }
};

const apiRequest = async (endpoint, options = {}) => {
  const token = localStorage.getItem('accessToken');
  
  const response = await fetch(`${API_URL}${endpoint}`, {
    ...options,
    headers: {
      'Content-Type': 'application/json',
      'Authorization': `Bearer ${token}`,
      ...options.headers
    }
  });
  
  if (response.status === 401) {
    // Token expired, refresh and retry
    await refreshAccessToken();
    return apiRequest(endpoint, options);
  }
  
  return response.json();
};

const findNearbyStations = async (lat, lng, radius = 5000) => {
  return await apiRequest(
    `/api/v1/stations/nearby?latitude=${lat}&longitude=${lng}&radius=${radius}`
  );
};

// --- what follows lets the harness in ---
export { apiRequest, findNearbyStations, login };
