import Foundation
import MeshCore
import MeshTLS

/// Certificates made by the openssl command once per test run, in a temporary directory that goes away with it.
struct DevelopmentPKI {
    static let shared = DevelopmentPKI()

    private var files: [String: [UInt8]] = [:]

    private init() {
        let directory = FileManager.default.temporaryDirectory.appending(path: "martlet-pki-\(UUID().uuidString)")
        try! FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let shell = Process()
        shell.executableURL = URL(filePath: "/bin/sh")
        shell.arguments = ["-ec", Self.script]
        shell.currentDirectoryURL = directory
        shell.standardError = FileHandle.nullDevice
        shell.standardOutput = FileHandle.nullDevice
        try! shell.run()
        shell.waitUntilExit()
        precondition(shell.terminationStatus == 0, "the openssl command failed")
        for file in try! FileManager.default.contentsOfDirectory(at: directory, includingPropertiesForKeys: nil) {
            files[file.lastPathComponent] = Array(try! Data(contentsOf: file))
        }
    }

    /// The bytes of a file that the script made.
    func file(_ name: String) -> [UInt8] { files[name]! }

    /// A certificate with its key.
    func certificate(_ name: String, staple: [UInt8]? = nil) -> TLSCertificate {
        TLSCertificate(
            chainPEM: file("\(name).pem"), keyPEM: file("\(name).key"), ocspStaple: staple, label: name)
    }

    private static let script = """
        ec() { openssl ecparam -name prime256v1 -genkey -noout -out $1.key; }
        ca() { ec $1; openssl req -x509 -new -key $1.key -subj "/CN=$1" -days 30 -out $1.pem \
          -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign; }
        # sign NAME ISSUER DAYS EXTENSIONS...
        sign() { name=$1; issuer=$2; days=$3; shift 3
          openssl req -new -key $name.key -subj "/O=Martlet/CN=$name" -out $name.csr
          printf '%s\\n' "$@" > $name.ext
          openssl x509 -req -in $name.csr -CA $issuer.pem -CAkey $issuer.key -CAcreateserial -days $days \
            -extfile $name.ext -out $name.pem; }
        leaf() { name=$1; issuer=$2; shift 2
          sign $name $issuer 30 "subjectAltName=$1" extendedKeyUsage=serverAuth,clientAuth; }
        ca root
        ca stranger
        ec intermediate
        sign intermediate root 30 basicConstraints=critical,CA:TRUE keyUsage=critical,keyCertSign
        for one in shop wild spiffe client other address; do ec $one; done
        leaf shop intermediate DNS:shop.example,DNS:www.shop.example
        cat intermediate.pem >> shop.pem
        openssl genrsa -out shop-rsa.key 2048
        leaf shop-rsa root DNS:shop.example
        leaf wild root DNS:*.wild.example
        leaf spiffe root URI:spiffe://mesh/ns/default/sa/cart
        leaf client root URI:spiffe://mesh/ns/default/sa/shop,DNS:shop.internal
        leaf address root IP:127.0.0.1,IP:::1
        leaf other stranger URI:spiffe://mesh/ns/default/sa/shop
        ec expired
        sign expired root -1 subjectAltName=DNS:expired.example
        openssl ec -in shop.key -aes128 -passout pass:secret -out encrypted.key
        openssl pkcs8 -topk8 -in shop.key -passout pass:secret -out encrypted8.key
        """
}
