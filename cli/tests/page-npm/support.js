// What the test of the page stands on: a browser, the program in the homes of three nodes, and a hostile server.

import { execFile } from "node:child_process";
import http from "node:http";
import { chromium } from "playwright-core";

export const SECONDS = 1000;
/** How long anything may take that the page or a node has to do. */
export const LIMIT = 30 * SECONDS;

const { WOPR, CHROMIUM, HOMES, BOOTSTRAP } = process.env;

/** Runs `wopr` in the home of a node, and gives its exit code and what it said. */
export const wopr = (node, ...words) =>
  new Promise((done) => {
    const env = { PATH: process.env.PATH, WOPR_HOME: `${HOMES}/${node}`, WOPR_P2P_BOOTSTRAP: BOOTSTRAP };
    execFile(WOPR, words, { env, timeout: 60 * SECONDS }, (error, stdout, stderr) =>
      done({ code: error ? (error.code ?? -1) : 0, stdout, stderr }));
  });

/** The JSON that `wopr p2p … --json` prints as this node. */
export const asked = async (node, ...words) => {
  const { code, stdout, stderr } = await wopr(node, "p2p", ...words, "--json");
  check(code === 0, `${node}: wopr p2p ${words.join(" ")} ended with ${code}: ${stdout}${stderr}`);
  return JSON.parse(stdout);
};

/** A link to the page of a node. */
export const link = async (node) => (await asked(node, "ui")).url;

export const browse = (more = []) =>
  chromium.launch({
    executablePath: CHROMIUM,
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync", ...more,
    ],
  });

export const check = (holds, what) => {
  if (!holds) throw new Error(what);
};

export const same = (found, wanted, what) =>
  check(found === wanted, `${what}: ${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`);

/** Looks until it holds. */
export const until = async (what, look) => {
  const end = Date.now() + LIMIT;
  for (;;) {
    const found = await look();
    if (found) return found;
    check(Date.now() < end, `not in time: ${what}`);
    await new Promise((done) => setTimeout(done, 50));
  }
};

/** A step of the test, named after what it shows. */
export const step = async (name, work) => {
  const started = Date.now();
  try {
    await work();
  } catch (error) {
    console.log(`FAILED  ${name}`);
    throw error;
  }
  console.log(`ok      ${name} (${Date.now() - started} ms)`);
};

/** One request as nothing but its bytes say it, for what no browser would send. */
export const raw = (port, path, { method = "GET", headers = {}, body = "" } = {}) =>
  new Promise((done, failed) => {
    const request = http.request({ host: "127.0.0.1", port, path, method, headers, setHost: false }, (answer) => {
      let text = "";
      answer.setEncoding("utf8");
      answer.on("data", (piece) => { text += piece; });
      answer.on("end", () => done({ status: answer.statusCode, headers: answer.headers, text }));
    });
    request.on("error", failed);
    request.end(body);
  });

/** A server on another port, with a page of its own; remembers every cookie that it is sent. */
export const hostile = async (page) => {
  const cookies = [];
  const server = http.createServer((request, answer) => {
    cookies.push(request.headers.cookie ?? "");
    answer.setHeader("content-type", "text/html");
    answer.end(page);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return { port: server.address().port, cookies, close: () => server.close() };
};
