// Asks with Node's own clients, and prints the answers as JSON.
// Usage: node node.mjs fetch URL            one request, HTTP/1.1
//        node node.mjs http2 ORIGIN PATH N  N requests at the same time on one connection, HTTP/2
import http2 from 'node:http2';

async function overHTTP1(url) {
  const response = await fetch(url, { signal: AbortSignal.timeout(10_000) });
  return { status: response.status, answer: await response.json() };
}

function ask(session, path, number) {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':method': 'POST', ':path': path });
    const result = { trailers: {} };
    const chunks = [];
    stream.setTimeout(10_000, () => reject(new Error(`${path}: no answer within 10 s`)));
    stream.on('error', reject);
    stream.on('response', (headers) => { result.status = headers[':status']; });
    stream.on('trailers', (trailers) => { result.trailers = { ...trailers }; });
    stream.on('data', (chunk) => chunks.push(chunk));
    stream.on('close', () => {
      try {
        resolve({ ...result, answer: JSON.parse(Buffer.concat(chunks).toString()) });
      } catch (error) {
        reject(error);
      }
    });
    stream.end(`request ${number}`);
  });
}

async function overHTTP2(origin, path, count) {
  const session = http2.connect(origin);
  try {
    const failure = new Promise((_, reject) => session.on('error', reject));
    const answers = Promise.all(Array.from({ length: Number(count) }, (_, number) => ask(session, path, number)));
    return await Promise.race([answers, failure]);
  } finally {
    session.close();
  }
}

const [how, ...rest] = process.argv.slice(2);
try {
  console.log(JSON.stringify(how === 'http2' ? await overHTTP2(...rest) : await overHTTP1(...rest)));
} catch (error) {
  console.error(`${error.message}${error.cause ? `: ${error.cause.message}` : ''}`);
  process.exitCode = 1;
}
