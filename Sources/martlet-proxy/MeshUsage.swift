extension MeshArguments {
    /// The flags, and what each wants.
    static let flags: [String: String] = [
        "--control": "HOST:PORT of the control plane",
        "--workload": "NAMESPACE/NAME of a Workload",
        "--gateway": "NAMESPACE/NAME of a Gateway",
        "--instance": "a name of at most 63 letters, digits, '.', '-' and '_'",
        "--state": "a directory",
        "--out": "a directory",
        "--token-file": "a file with a token",
        "--address": "an IP address",
        "--zone": "a name",
        "--port": "PORT=APPPORT, PORT=APPPORT:INBOUNDPORT or PORT=:INBOUNDPORT",
        "--outbound": "IP:PORT or unix:PATH",
        "--local-port": "NAMESPACE/SERVICE=PORT or NAMESPACE/SERVICE:SERVICEPORT=PORT",
        "--admin": "IP:PORT or unix:PATH",
        "--loops": "a number from 1 to 256",
        "--drain-delay": "seconds from 0 to 3600",
    ]

    /// Those that `identity` has.
    static let identityFlags: Set<String> = [
        "--control", "--workload", "--gateway", "--instance", "--out", "--token-file",
    ]

    static let runUsage = """
        martlet-proxy run: a proxy that takes its configuration and its identity from a control plane.

        usage: martlet-proxy run --control HOST:PORT (--workload NS/NAME | --gateway NS/NAME) --state DIR [options]
                                 [-- COMMAND ARGUMENTS…]

          --control HOST:PORT      the control plane; of a name with several addresses each is tried
          --workload NS/NAME       a sidecar: the Workload document says what it serves and calls
          --gateway NS/NAME        a gateway: the Gateway document says what it serves
          --state DIR              what is kept across restarts: identity, last good configuration; one per instance
          --token-file FILE        the one-use token for the first start; or the variable MARTLET_TOKEN
          --instance NAME          this instance; default: the one in DIR, or a name of chance
          --address IP             where other proxies reach it; default: where its connections come from
          --zone ZONE              where it stands, such as an availability zone
          --port PORT=APP[:IN]     the service's port PORT is at APP on this machine, and at IN for the mesh
          --outbound ADDR          where the service calls others, by Host
          --local-port NS/SVC[:P]=PORT   127.0.0.1:PORT leads to that service alone
          --admin ADDR             where /live /ready /metrics /config … are served
          --loops N                event loops, 1 to 256; default: one for each processor
          --drain-delay SECONDS    between the word that it drains and the end of its listeners; default: 1

        With a COMMAND, the service is started once a configuration is served, with MARTLET_OUTBOUND (the address for
        its calls), MARTLET_INSTANCE, MARTLET_ROLE and MARTLET_ADMIN in its environment, in a process group of its own.
        When it ends, the proxy drains and ends with its exit code (128 + N if signal N killed it, 127 if there is no such
        program, 126 if it cannot be executed). It is not started again.

        SIGTERM and SIGINT: the instance is reported as draining, its listeners for the mesh end with the requests in
        flight, the service gets the signal, and SIGKILL if it is still there after the drain timeout, then the proxy
        ends. A second one ends the proxy at once, and the service with it. SIGHUP, SIGUSR1
        and SIGUSR2 go to the service; without one, SIGHUP lets the proxy read its token file again and connect at once.
        The control plane may be gone at any time: what was last good is served. Exit code without a COMMAND: 0 ended, 1 requests were cut off at the end, 2 nothing could
        be started.

        Examples:
          martlet-proxy run --control control:15010 --workload shop/cart --state /var/lib/martlet/cart \\
            --token-file cart.token -- ./cart --listen 127.0.0.1:8080
          martlet-proxy run --control control:15010 --gateway edge/public --state /var/lib/martlet/edge
          martlet-proxy run --control localhost:15010 --workload shop/cart --instance cart-2 --state cart-2 \\
            --port 80=8082:15082 --outbound 127.0.0.1:15002 --admin 127.0.0.1:15902
        """

    static let identityUsage = """
        martlet-proxy identity: joins a mesh once and writes the certificate, for programs that use it themselves.

        usage: martlet-proxy identity --control HOST:PORT (--workload NS/NAME | --gateway NS/NAME) --out DIR
                                      [--token-file FILE] [--instance NAME]

        Writes DIR/identity.pem (the certificate and its issuers), DIR/identity.key (its key, for the owner only) and
        DIR/bundle.pem (whom to believe). The token comes from FILE or the variable MARTLET_TOKEN. The certificate is
        not renewed: run it again with a new token and another DIR, or run martlet-proxy run.

        Example:
          MARTLET_TOKEN=mt1.… martlet-proxy identity --control control:15010 --workload shop/cart --out cart-identity
        """
}
