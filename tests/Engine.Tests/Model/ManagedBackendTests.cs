using Distributed.Engine.Checkpoints;

namespace Distributed.Engine.Tests.Model;

/// <summary>The managed backend keeps all bits in whatever step a token is; world sizes that are no powers of two are within rounding.</summary>
public sealed class ManagedBackendTests() : BackendConformance(torch: null, TensorType.BFloat16, tolerance: 1e-5f);
