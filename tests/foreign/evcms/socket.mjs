// socket.io-client, with the contract's address led to the server under test.
import { io } from "socket.io-client";

export default (url, options) =>
  io(url.replace("http://localhost:5000", process.env.REACT_APP_API_URL), options);
