// The cart, version 2: HTTP/1.1 on Node's own http. Usage: node cart.mjs PORT
import http from 'node:http';

const server = http.createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const answer = JSON.stringify({
      service: 'cart-v2', language: 'Node', method: request.method, path: request.url,
      headers: request.headers, body: Buffer.concat(chunks).toString('latin1'),
    }) + '\n';
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(answer) });
    response.end(answer);
  });
});
server.listen(Number(process.argv[2]), '127.0.0.1');
