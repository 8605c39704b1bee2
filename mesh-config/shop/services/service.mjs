// A service in Node, on its own http. Usage: node service.mjs NAME PORT [SERVICE...]
//
// It answers with who it is and what the services it calls have answered. It calls them by name, through the proxy
// beside it, whose address is in MARTLET_OUTBOUND.
import http from 'node:http';

const [name, port, ...callees] = process.argv.slice(2);
const [host, outbound] = (process.env.MARTLET_OUTBOUND ?? '127.0.0.1:15001').split(':');
const agent = new http.Agent({ keepAlive: true });

function call(service, path) {
  return new Promise((resolve, reject) => {
    const request = http.get({ host, port: outbound, path, agent, headers: { host: service } }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        if (response.statusCode === 200) resolve(JSON.parse(text));
        else reject(new Error(`${service}: ${response.statusCode} ${text.trim()}`));
      });
    });
    request.on('error', (error) => reject(new Error(`${service}: ${error.message}`)));
  });
}

function answer(response, status, value) {
  const text = JSON.stringify(value) + '\n';
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}

const server = http.createServer(async (request, response) => {
  if (request.url === '/healthz') return answer(response, 200, { service: name });
  try {
    const calls = await Promise.all(callees.map((service) => call(service, request.url)));
    answer(response, 200, { service: name, language: 'Node', instance: Number(port), calls });
  } catch (error) {
    answer(response, 500, { service: name, error: error.message });
  }
});
// Longer than the proxy keeps an unused connection, so that it is never closed under a request.
server.keepAliveTimeout = 60_000;
server.listen(Number(port), '127.0.0.1');
