// Answers of dTelecom's own packages: tokens and program addresses.
const { AccessToken } = require("@dtelecom/server-sdk-js");
const { PublicKey } = require("@solana/web3.js");

function token({ key, secret, now, options, grant }) {
  Date.now = () => now * 1000;
  const made = new AccessToken(key, secret, options);
  made.addGrant(grant);
  return made.toJwt();
}

function address({ seeds, program }) {
  const bytes = seeds.map((seed) => Buffer.from(seed, "hex"));
  const [found] = PublicKey.findProgramAddressSync(bytes, new PublicKey(program));
  return found.toBase58();
}

const asked = JSON.parse(require("fs").readFileSync(0, "utf8"));
const answers = {
  tokens: asked.tokens.map(token),
  addresses: asked.addresses.map(address),
};
process.stdout.write(JSON.stringify(answers));
