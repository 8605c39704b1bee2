// An h2c upstream on Node's own http2: node node_h2.mjs PORT. Answers with JSON of what arrived, and trailers.
import http2 from 'node:http2';

const server = http2.createServer();
server.on('stream', (stream, headers) => {
  const chunks = [];
  stream.on('error', () => {});
  stream.on('data', (chunk) => chunks.push(chunk));
  stream.on('end', () => {
    const body = JSON.stringify({
      upstream: 'node', method: headers[':method'], path: headers[':path'], authority: headers[':authority'],
      headers, body: Buffer.concat(chunks).toString(),
    });
    stream.respond({ ':status': 200, 'content-type': 'application/json' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-trailer': 'from-node' }));
    stream.end(body);
  });
});
server.listen(Number(process.argv[2]), '127.0.0.1', () => console.log('ready'));
