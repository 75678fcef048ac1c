// The page of a real node in a real browser, with real peers: every action by clicking, and every way that a hostile
// page could try. Run by cli/tests/page.rs, which starts the nodes. With SHOTS it leaves pictures in that folder.

import { guarded } from "./guarded.js";
import { LIMIT, asked, browse, check, link, same, step, until, wopr } from "./support.js";

const EVIL = "<script>window.harmed=1</script>";
const MARKUP = `<img src=x onerror="window.harmed=1"> \u202e${EVIL}`;
const ALICE = (await asked("alice", "identity")).publicKey;
const BOB = (await asked("bob", "identity")).publicKey;
const CAROL = (await asked("carol", "identity")).publicKey;
const NOBODY = "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

const browser = await browse();
const context = await browser.newContext();
context.setDefaultTimeout(LIMIT);
const page = await context.newPage();
const complaints = [];
page.on("pageerror", (error) => complaints.push(error.message));
page.on("console", (message) => { if (message.type() === "error") complaints.push(message.text()); });

let base;
const go = (place) => page.click(`nav >> text="${place}"`);
const notice = () => page.locator("#notice").innerText();
const expect = (part, text) => page.locator(`${part} :text(${JSON.stringify(text)})`).first().waitFor();
/** Presses a button of the card that holds a text. */
const press = async (part, text, button) => {
  await page.locator(`${part} .card`, { hasText: text }).getByRole("button", { name: button }).first().click();
  await page.locator("#notice").waitFor();
};
const picture = async (name) => {
  if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/${name}.png`, fullPage: true });
};
const fill = async (form, fields, button) => {
  for (const [id, value] of Object.entries(fields)) {
    const field = page.locator(`#${id}`);
    if ((await field.evaluate((it) => it.tagName)) === "SELECT") await field.selectOption(value);
    else await field.fill(value);
  }
  await page.locator(form).getByRole("button", { name: button }).click();
  await page.locator("#notice").waitFor();
};

await step("a link opens the page once, and looking at it does not use it up", async () => {
  const url = await link("alice");
  for (let look = 0; look < 2; look++) same((await context.request.get(url)).status(), 200, "a look");
  await page.goto(url);
  await page.waitForURL("**/s/*/");
  base = page.url();
  const again = await (await browser.newContext()).newPage();
  await again.goto(url);
  await again.locator("text=This link was used").waitFor();
});

await step("it says who this node is, with a QR code", async () => {
  const { shortId } = await asked("alice", "identity");
  same(await page.locator(".brand .id").innerText(), shortId, "the short id");
  check((await page.locator(".me").innerText()).includes(ALICE), "the key");
  same(await page.locator("svg.qr").count(), 1, "the QR code");
  await page.locator("#link.on").waitFor();
});

await step("an invite is made, claimed, and shown as a grant without loading again", async () => {
  await go("Access");
  await fill("form:has(#invite-peer)", { "invite-peer": BOB, "invite-sessions": "main, docs" }, "Create");
  const token = await page.locator("#token").innerText();
  check(token.startsWith("wop1://"), `a token: ${token}`);
  await page.locator("#invites .card", { hasText: "open" }).waitFor();
  same((await wopr("bob", "p2p", "invite", "claim", token)).code, 0, "the claim");
  await expect("#grants", "docs");
  await page.reload();
  same(await page.locator("#token").count(), 0, "the token is shown once");
});

await step("a peer gets a name that is a script, and harms nobody", async () => {
  await go("Peers");
  await page.click("summary");
  await fill("form:has(input[name=name])", { [`name-${(await asked("bob", "identity")).shortId}`]: EVIL }, "Rename");
  await expect("#peers", EVIL);
  same((await asked("alice", "peers")).peers[0].name, EVIL, "its name");
});

await step("connections, messages and answers appear as they happen", async () => {
  await go("Activity");
  same((await wopr("bob", "p2p", "log", ALICE, "--session", "docs", "--message", MARKUP)).code, 0, "the log");
  same((await wopr("bob", "p2p", "inject", ALICE, "--session", "main", "--message", "a question")).code, 0, "the inject");
  await expect("#events", "question.answered");
  await expect("#limits", "1 of 10 in the last minute");
  await go("Overview");
  await expect("#connected", "connected");
});

await step("a session is read in pages, and what peers wrote is text", async () => {
  await go("Messages");
  await page.click('#sessions >> text="docs"');
  const message = page.locator(".message pre");
  await message.waitFor();
  check((await message.innerText()).includes(EVIL), "the whole text");
  same(await message.locator("img, script").count(), 0, "elements in it");
  same(await message.locator(".control").innerText(), "U+202E", "the invisible is seen");
  await page.goto(`${base}session?name=main&from=1`);
  await page.click('text="← Older"');
  same(await page.locator(".message").count(), 2, "question and answer");
});

await step("access to one session is revoked, and the peer is refused there", async () => {
  await go("Access");
  await page.locator("#grants li", { hasText: "docs" }).getByRole("button", { name: "Revoke" }).click();
  await page.locator("#notice").waitFor();
  check(/GRANT +PEER +SESSIONS/.test(await notice()), `what is left, as a table: ${await notice()}`);
  same((await wopr("bob", "p2p", "log", ALICE, "--session", "docs", "--message", "x", "--no-queue")).code, 7, "to docs");
  same((await wopr("bob", "p2p", "log", ALICE, "--session", "main", "--message", "x", "--no-queue")).code, 0, "to main");
});

await step("a grant is given and taken back", async () => {
  const form = "form:has(#grant-peer)";
  const fields = { "grant-peer": NOBODY, "grant-sessions": "*", "grant-capabilities": "message", "grant-trust": "semi-trusted", "grant-expire": "7d" };
  await fill(form, fields, "Give access");
  const grants = async () => (await asked("alice", "grants")).grants.filter((grant) => grant.peer.publicKey === NOBODY);
  const [grant] = await grants();
  same([grant.sessions, grant.capabilities, grant.trust, grant.expires > 0].join(), "*,message,semi-trusted,true", "it");
  await press("#grants", "all sessions", "Revoke grant");
  same((await grants()).length, 0, "grants of it");
});

await step("an open invite is revoked", async () => {
  await fill("form:has(#invite-peer)", { "invite-peer": NOBODY, "invite-sessions": "notes", "invite-expire": "1h" }, "Create");
  await press("#invites", "notes", "Revoke");
  same((await asked("alice", "invite", "list")).invites.filter((invite) => invite.state === "open").length, 0, "open ones");
});

await step("an invite of a peer is claimed", async () => {
  const { token } = await asked("bob", "invite", "create", ALICE, "--sessions", "theirs");
  await fill("form:has(#claim-token)", { "claim-token": token }, "Claim");
  check((await notice()).includes("Connected."), await notice());
  await go("Peers");
  await expect("#peers", "theirs");
});

await step("what cannot be done says why and what to do", async () => {
  await go("Access");
  await fill("form:has(#claim-token)", { "claim-token": "wop1://nonsense" }, "Claim");
  check((await notice()).includes("Not done"), await notice());
  same(await page.locator("#notice").getAttribute("role"), "alert", "the notice's role");
});

await step("a topic is joined with the keyboard alone, and a stranger is met there", async () => {
  await asked("carol", "profile", "set", JSON.stringify({ name: EVIL }));
  await asked("carol", "topic", "join", "room");
  await go("Topics");
  await page.keyboard.press("Tab");
  same(await page.evaluate(() => document.activeElement.textContent), "Skip to the content", "the first stop");
  await page.focus("#topic");
  await page.keyboard.type("room");
  await page.keyboard.press("Enter");
  await expect("#joined", "room");
  await expect("#met", "key proven");
  await expect("#met", EVIL);
});

await step("the profile is changed", async () => {
  await fill("form:has(#profile)", { profile: '{"name":"alice"}' }, "Show this");
  same((await asked("alice", "profile", "show")).content.name, "alice", "the name in it");
});

await step("a stranger's request waits for a decision and is approved with the keyboard", async () => {
  await go("Overview");
  await page.locator("nav >> text=Peers").focus();
  same((await asked("carol", "connect", ALICE)).status, "pending", "the request");
  await expect("#requests", "asks for access");
  await page.locator("nav .count").waitFor();
  same(await page.evaluate(() => document.activeElement.textContent), "Peers", "where the keyboard was, it stays");
  check((await page.title()).startsWith("(1) "), `another tab tells: ${await page.title()}`);
  await picture("request");
  await page.getByRole("button", { name: /^Approve/ }).focus();
  await page.keyboard.press("Enter");
  await page.locator("#notice").waitFor();
  await until("the grant is there", async () =>
    (await asked("alice", "grants")).grants.some((grant) => grant.peer.publicKey === CAROL));
});

await step("held messages are denied and let in", async () => {
  for (const [text, button, there] of [["not this", "Deny", 0], [`let me in ${EVIL}`, "Approve", 1]]) {
    same((await wopr("carol", "p2p", "log", ALICE, "--session", "front-door", "--message", text, "--no-queue")).code, 2, "held");
    await expect("#requests", text);
    await press("#requests", text, button);
    await expect("#requests", "Nothing waits");
    const { stdout } = await wopr("alice", "sessions", "history", "front-door", "--full", "--json");
    same(stdout.includes(JSON.stringify(text).slice(1, -1)), there === 1, `"${text}" is in the session`);
  }
});

await step("a stranger is asked for access", async () => {
  await go("Topics");
  await press("#met", "key proven", "Ask for access");
  check(/Waiting|Not done/.test(await notice()), await notice());
  await until("carol has the request", async () => (await asked("carol", "requests")).requests.length > 0);
  await expect("#met", "its owner has yet to decide");
});

await step("a topic is left", async () => {
  await press("#joined", "room", "Leave");
  same((await asked("alice", "topics")).topics.length, 0, "topics");
});

await step("a message that waits is given up", async () => {
  await asked("alice", "grant", NOBODY, "x");
  const { code } = await wopr("alice", "p2p", "log", NOBODY, "--session", "in", "--message", "later", "--timeout", "1s");
  same(code, 0, "it is queued");
  await go("Messages");
  await press("#outbox", "for the session in", "Give up");
  await expect("#outbox", "The outbox is empty");
});

await step("it fits a phone, in light and in dark, and every field has a label", async () => {
  for (const place of ["", "peers", "access", "topics", "messages", "session?name=main", "activity"]) {
    await page.goto(base + place);
    for (const width of [1280, 360]) {
      for (const colorScheme of ["light", "dark"]) {
        await page.setViewportSize({ width, height: 800 });
        await page.emulateMedia({ colorScheme });
        const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        check(over <= 0, `${place} is ${over} pixels too wide at ${width}`);
        await picture(`${place.split("?")[0] || "overview"}-${width}-${colorScheme}`);
      }
    }
    const nameless = await page.evaluate(() =>
      [...document.querySelectorAll("input:not([type=hidden]), select, textarea")].filter((it) => !it.labels.length).length);
    same(nameless, 0, `fields without a label on ${place}`);
  }
  await page.setViewportSize({ width: 1280, height: 800 });
});

await step("a peer is revoked with one click, and refused", async () => {
  await go("Peers");
  await press("#peers", EVIL, "Revoke all access");
  same((await wopr("bob", "p2p", "log", ALICE, "--session", "main", "--message", "x", "--no-queue")).code, 7, "to main");
});

await step("a ban is seen", async () => {
  await asked("alice", "grant", BOB, "main");
  const send = () => wopr("bob", "p2p", "log", ALICE, "--session", "main", "--message", "again", "--no-queue");
  await until("bob is banned", async () => (await send()).code === 4);
  await go("Activity");
  await expect("#limits", "banned from logs");
});

await step("it works without scripts", async () => {
  const plain = await (await browser.newContext({ javaScriptEnabled: false })).newPage();
  await plain.goto(await link("alice"));
  await plain.click("text=Open >> nth=-1");
  await plain.waitForURL("**/s/*/");
  await plain.click('nav >> text="Topics"');
  await plain.fill("#topic", "plain");
  await plain.click("form:has(#topic) button");
  await plain.locator("#joined >> text=plain").waitFor();
});

await guarded(browser, context, page, base, { bob: BOB });

await step("nothing that peers wrote was run, and the browser had nothing to complain of", async () => {
  same(await page.evaluate(() => window.harmed), undefined, "harm");
  // The browser itself writes a line for each answer that is a refusal.
  const own = complaints.filter((text) => !/Failed to load resource/.test(text));
  same(own.join("\n"), "", "complaints");
});

await step("logging out locks the page, here and in every other tab", async () => {
  const other = await context.newPage();
  await other.goto(`${base}peers`);
  await other.locator("#link.on").waitFor();
  await page.click("text=Log out");
  await page.locator("text=You have logged out").waitFor();
  await other.locator("text=This page is locked").waitFor();
  check(!(await other.content()).includes(BOB), "the other tab still shows a peer");
  same((await page.goto(base)).status(), 401, "the old address");
});

await browser.close();
