// What another origin can do to the page: nothing. The worst case is tried: the hostile page knows every address of the
// page, and its browser is logged in.

import { browse, check, hostile, link, raw, same, step, asked } from "./support.js";

/** Tries from a page of another origin what pages can do, and tells what came of each. */
const attack = async ({ base, peer }) => {
  const tried = {};
  const read = async (name, mode) => {
    try {
      const answer = await fetch(base + name, { mode, credentials: "include" });
      return answer.type === "opaque" ? "opaque" : await answer.text();
    } catch {
      return "refused";
    }
  };
  tried.read = await read("peers", "cors");
  tried.blind = await read("peers", "no-cors");
  try {
    const form = new URLSearchParams({ form: "guess", do: "revoke", peer });
    await fetch(`${base}do`, { method: "POST", mode: "no-cors", credentials: "include", body: form });
    tried.write = "sent";
  } catch {
    tried.write = "refused";
  }
  tried.events = await new Promise((done) => {
    const source = new EventSource(`${base}live`, { withCredentials: true });
    source.onopen = () => done("open");
    source.onerror = () => done("refused");
  });
  const element = (tag, attributes) =>
    new Promise((done) => {
      const it = Object.assign(document.createElement(tag), attributes);
      it.onload = () => done("loaded");
      it.onerror = () => done("refused");
      document.body.append(it);
    });
  tried.script = await element("script", { src: `${base}peers` });
  tried.image = await element("img", { src: base.replace(/\/s\/.*/, "/assets/icon.svg") });
  tried.style = await element("link", { rel: "stylesheet", href: base.replace(/\/s\/.*/, "/assets/page.css") });
  return tried;
};

export const guarded = async (browser, context, page, base, { bob }) => {
  const { port, host } = new URL(base);
  const path = new URL(base).pathname;
  const [cookie] = await context.cookies(base);
  const ours = { host, cookie: `wopr=${cookie.value}` };
  const peers = async () => JSON.stringify((await asked("alice", "grants")).grants);

  await step("the cookie is strict, and for this page alone", async () => {
    same([cookie.httpOnly, cookie.sameSite, cookie.path].join(), `true,Strict,${path.slice(0, -1)}`, "the cookie");
  });

  await step("a page on another port can read nothing, do nothing, and is sent no cookie", async () => {
    const before = await peers();
    const server = await hostile("<!doctype html><title>hostile</title><body>");
    const evil = await context.newPage();
    await evil.goto(`http://127.0.0.1:${server.port}/`);
    const tried = await evil.evaluate(attack, { base, peer: bob });
    for (const [way, came] of Object.entries(tried)) {
      const harmless = way === "write" ? ["sent", "refused"] : way === "blind" ? ["opaque", "refused"] : ["refused"];
      check(harmless.includes(came), `${way}: ${came.slice(0, 200)}`);
    }
    await evil.evaluate((base) => {
      const frame = document.createElement("iframe");
      frame.src = base;
      document.body.append(frame);
      return new Promise((done) => { frame.onload = done; });
    }, base);
    const [, frame] = evil.frames();
    check(!(await frame.content()).includes("This node"), "the page is in a frame");
    // A form of another page that the owner is made to send.
    await evil.evaluate(([base, peer]) => {
      const form = Object.assign(document.createElement("form"), { method: "post", action: `${base}do` });
      for (const [name, value] of [["form", "guess"], ["do", "revoke"], ["peer", peer]]) {
        form.append(Object.assign(document.createElement("input"), { name, value }));
      }
      document.body.append(form);
      form.submit();
    }, [base, bob]);
    await evil.locator("text=this comes from another page").waitFor();
    check(!server.cookies.some((sent) => sent.includes("wopr")), "the hostile server was sent the cookie");
    same(await peers(), before, "what peers may do");
    server.close();
    await evil.close();
  });

  await step("a name of somebody else that points here (DNS rebinding) gets nothing", async () => {
    const rebound = await browse(["--host-resolver-rules=MAP evil.test 127.0.0.1"]);
    const evil = await rebound.newPage();
    for (const place of [path, "/", "/metrics", "/assets/page.js", new URL(await link("alice")).pathname]) {
      const answer = await evil.goto(`http://evil.test:${port}${place}`);
      same(answer.status(), 421, place);
      check(!(await evil.content()).includes("wopr"), "it says something of us");
    }
    await rebound.close();
  });

  await step("what no browser would send is refused as well", async () => {
    const refused = async (status, what, place, options) => same((await raw(port, place, options)).status, status, what);
    await refused(200, "the owner's own request", path, { headers: ours });
    await refused(401, "no cookie", path, { headers: { host } });
    await refused(401, "a wrong cookie", path, { headers: { host, cookie: `wopr=${"0".repeat(64)}` } });
    await refused(401, "another door", `/s/${"0".repeat(64)}/`, { headers: ours });
    await refused(421, "another host", path, { headers: { ...ours, host: "evil.test" } });
    await refused(421, "another port", path, { headers: { ...ours, host: "127.0.0.1:1" } });
    await refused(403, "another origin", path, { headers: { ...ours, origin: "http://127.0.0.1:1" } });
    const form = (await page.locator("input[name=form]").first().inputValue()).trim();
    const post = (token, more) => ({
      method: "POST",
      headers: { ...ours, "content-type": "application/x-www-form-urlencoded", ...more },
      body: new URLSearchParams({ form: token, do: "join", topic: "forged" }).toString(),
    });
    const own = { origin: `http://${host}` };
    await refused(403, "no origin", `${path}do`, post(form, {}));
    await refused(403, "a null origin", `${path}do`, post(form, { origin: "null" }));
    await refused(403, "a wrong form", `${path}do`, post("0".repeat(64), own));
    await refused(403, "no form", `${path}do`, post("", own));
    await refused(405, "an action by GET", `${path}do?form=${form}&do=join&topic=forged`, { headers: ours });
    await refused(413, "a long body", `${path}do`, { ...post(form, own), body: `topic=${"x".repeat(100_000)}` });
    check(!(await asked("alice", "topics")).topics.some((topic) => topic.name === "forged"), "a forged action was done");
    await refused(303, "the page's own", `${path}do`, post(form, own));
    check((await asked("alice", "topics")).topics.some((topic) => topic.name === "forged"), "the page's own was not done");
  });

  await step("every answer forbids scripts within, frames, guessing of types and keeping", async () => {
    for (const place of [path, "/", "/login/x", "/metrics", "/assets/page.js"]) {
      const { headers } = await raw(port, place, { headers: ours });
      const policy = headers["content-security-policy"];
      check(policy.startsWith("default-src 'none'") && !policy.includes("unsafe"), policy);
      check(policy.includes("frame-ancestors 'none'") && policy.includes("base-uri 'none'"), policy);
      same(headers["x-frame-options"], "DENY", place);
      same(headers["x-content-type-options"], "nosniff", place);
      same(headers["referrer-policy"], "same-origin", place);
      same(headers["cache-control"], "no-store", place);
      same(headers["access-control-allow-origin"], undefined, place);
    }
  });
};
