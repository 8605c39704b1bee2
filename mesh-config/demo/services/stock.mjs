// The stock: HTTP/2 without TLS on Node's own http2, with trailers. Usage: node stock.mjs PORT
import http2 from 'node:http2';

const server = http2.createServer();
server.on('stream', (stream, headers) => {
  const chunks = [];
  stream.on('error', () => {}); // the client has gone: nobody is left to answer
  stream.on('data', (chunk) => chunks.push(chunk));
  stream.on('end', () => {
    stream.respond({ ':status': 200, 'content-type': 'application/json' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-checked': 'by-stock' }));
    stream.end(JSON.stringify({
      service: 'stock', language: 'Node', method: headers[':method'], path: headers[':path'],
      headers: { ...headers }, body: Buffer.concat(chunks).toString('latin1'),
    }) + '\n');
  });
});
server.listen(Number(process.argv[2]), '127.0.0.1');
