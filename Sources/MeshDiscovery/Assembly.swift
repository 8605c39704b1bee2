import MeshCore
import MeshModel

/// Makes the model of a proxy from the resources that it has.
public enum Assembly {
    /// The model of the proxy `role`.
    public static func model(
        from resources: ResourceSet, role: ProxyRole, overrides: InstanceOverrides = InstanceOverrides()
    ) throws(ProxyError) -> Model { Model() }
}
