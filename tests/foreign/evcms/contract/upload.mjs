// Client code of the EV-CMS contract, unchanged: an upload.
// The harness provides what a page would: localStorage, API_URL and what is called here without being defined.

const formData = new FormData();
formData.append('file', fileInput.files[0]);
formData.append('type', 'profile'); // profile | vehicle | document | station

fetch('/api/v1/upload', {
  method: 'POST',
  headers: {
    'Authorization': `Bearer ${token}`
  },
  body: formData
})
