import Foundation
import Logging
import MeshNet

/// One line per message on standard error: time, level, message.
struct LineLog: LogHandler {
    var metadata = Logger.Metadata()
    var logLevel = Logger.Level.info

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let time = Date().formatted(.iso8601)
        let line = "\(time) \(event.level.rawValue) \(event.message.description.replacing("\n", with: " | "))\n"
        FileHandle.standardError.write(Data(line.utf8))
    }
}
