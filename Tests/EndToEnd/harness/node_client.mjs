// Node's own http2 client: node node_client.mjs ORIGIN [CA-FILE]. Prints what came, as one JSON object.
import fs from 'node:fs';
import http2 from 'node:http2';

const [origin, ca] = process.argv.slice(2);
const session = http2.connect(origin, ca ? { ca: fs.readFileSync(ca) } : {});
session.on('error', (error) => { console.error(error); process.exit(1); });

function ask(headers, body) {
  return new Promise((resolve, reject) => {
    const stream = session.request(headers);
    const got = { body: '' };
    stream.on('response', (head) => { got.status = head[':status']; got.type = head['content-type']; });
    stream.on('trailers', (fields) => { got.trailers = { ...fields }; });
    stream.on('data', (chunk) => { got.body += chunk; });
    stream.on('error', reject);
    stream.on('end', () => resolve(got));
    stream.end(body);
  });
}

const simple = await ask({ ':path': '/simple?q=1' });
const posted = await ask({ ':path': '/posted', ':method': 'POST' }, 'from node');
const many = await Promise.all(Array.from({ length: 100 }, (_, number) => ask({ ':path': `/many/${number}` })));
const large = await ask({ ':path': '/large', ':method': 'POST' }, 'l'.repeat(1 << 20));
const ping = await new Promise((resolve) => session.ping((error) => resolve(!error)));
session.close(() => {
  const statuses = many.map((one) => one.status);
  const [largeStatus, largeLength] = [large.status, large.body.length];
  console.log(JSON.stringify({ simple, posted, statuses, largeStatus, largeLength, ping }));
});
