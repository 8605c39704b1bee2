import MeshTelemetry
import Testing
