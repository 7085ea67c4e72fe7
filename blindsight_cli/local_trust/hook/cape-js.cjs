// Gives cape-js this machine's simulated root in the place of AWS's, while the program has talked to loopback hosts only.
const { readFileSync } = require("node:fs");
const https = require("node:https");
const { Socket } = require("node:net");
const { PassThrough, Readable } = require("node:stream");

const root = process.env.BLINDSIGHT_LOCAL_ROOT; // A PEM file. The zip file beside it is what cape-js expects.
const { connect } = Socket.prototype;
const { request } = https;
let isLocal = Boolean(root);
let isSaid = false;

Socket.prototype.connect = function (...given) {
  const [to, name] = given.flat();
  const host = to?.host ?? (typeof name === "string" ? name : "localhost");
  isLocal &&= /^(localhost|::1|127(\.\d+){3})$/i.test(host);
  return connect.apply(this, given);
};

https.request = (options, ...rest) => {
  if (!isLocal || options.hostname !== "aws-nitro-enclaves.amazonaws.com") return request(options, ...rest);
  if (!isSaid) console.warn("LOCAL TRUST: simulated evidence of this machine is accepted. It proves nothing.");
  isSaid = true;
  const zip = Readable.from([readFileSync(root.replace(/\.pem$/, ".zip"))]);
  const asked = new PassThrough();
  setImmediate(() => asked.emit("response", Object.assign(zip, { statusCode: 200, statusMessage: "OK", headers: {} })));
  return asked;
};
