namespace Distributed.Engine.Parallel;

/// <summary>How layers are placed on the stages of a pipeline by the memory of their ranks; the names are those of Hugging Face's accelerate.</summary>
public enum DeviceMapPolicy
{
    /// <summary>As even as memory allows: a stage whose ranks have little gets less.</summary>
    Auto,

    /// <summary>Even by bytes, whatever memory there is.</summary>
    Balanced,

    /// <summary>The first stage is filled, then the next; each has a layer at least.</summary>
    Sequential,
}
