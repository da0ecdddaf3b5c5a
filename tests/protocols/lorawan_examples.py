"""The example events of the network servers' own documentation, as data.

ChirpStack 4: chirpstack.io/docs/chirpstack/integrations/events.html; the device of all is written once.
The Things Stack 3: thethingsindustries.com/docs/integrations/data-formats, .../other-integrations/mqtt and
.../storage/retrieve.
"""

from typing import Any

EUI = "0101010101010101"
TENANT = "52f14cd4-c6f1-4fbd-8f87-4025e1d49242"
APPLICATION = "17c82e96-be03-4f38-aef3-f83d48582d97"
GATEWAY = "0016c001f153a14c"


def _chirpstack(time: str, *, dev_eui: str = EUI, **fields: Any) -> dict[str, Any]:
    device = {
        "tenantId": TENANT,
        "tenantName": "ChirpStack",
        "applicationId": APPLICATION,
        "applicationName": "Test application",
        "deviceProfileId": "14855bf7-d10d-4aee-b618-ebfcb64dc7ad",
        "deviceProfileName": "Test device-profile",
        "deviceName": "Test device",
        "devEui": dev_eui,
        "tags": {"key": "value"},
    }
    return {"time": time, "deviceInfo": device, **fields}


CHIRPSTACK: dict[str, dict[str, Any]] = {
    "up": _chirpstack(
        "2022-07-18T09:34:15.775023242+00:00",
        deduplicationId="3ac7e3c4-4401-4b8d-9386-a5c902f9202d",
        devAddr="00189440",
        dr=1,
        fPort=1,
        data="qg==",
        rxInfo=[
            {
                "gatewayId": GATEWAY,
                "uplinkId": 4217106255,
                "rssi": -36,
                "snr": 10.5,
                "context": "E3OWOQ==",
                "metadata": {"region_name": "eu868", "region_common_name": "EU868"},
            }
        ],
        txInfo={
            "frequency": 867100000,
            "modulation": {"lora": {"bandwidth": 125000, "spreadingFactor": 11, "codeRate": "CR_4_5"}},
        },
    ),
    "status": _chirpstack(
        "2022-07-18T09:35:06.927172638+00:00",
        deduplicationId="bf2a9746-1c8b-49be-a92e-f0b89c8534e4",
        margin=10,
        batteryLevel=88.3,
    ),
    "join": _chirpstack(
        "2022-07-18T09:33:28.823500726+00:00",
        deduplicationId="c9dbe358-2578-4fb7-b295-66b44edc45a6",
        devAddr="00189440",
    ),
    "ack": _chirpstack(
        "2022-07-18T09:38:49.235700766+00:00",
        deduplicationId="856a03e7-80f6-4c26-b971-9dcb34a59c2e",
        queueItemId="1bbcab1d-6ec6-4136-b3f5-d63be1dc08de",
        acknowledged=True,
        fCntDown=3,
    ),
    "txack": _chirpstack(
        "2022-07-18T09:37:48.929184085+00:00",
        downlinkId=3461958127,
        queueItemId="42cb6459-a640-46ec-9623-bdff39dc4736",
        fCntDown=2,
        gatewayId=GATEWAY,
        txInfo={
            "frequency": 867900000,
            "power": 14,
            "modulation": {
                "lora": {
                    "bandwidth": 125000,
                    "spreadingFactor": 7,
                    "codeRate": "CR_4_5",
                    "polarizationInversion": True,
                }
            },
            "timing": {"delay": {"delay": "1s"}},
            "context": "ICYVGw==",
        },
    ),
    "log": _chirpstack(
        "2022-07-18T09:39:57.311414029+00:00",
        level="ERROR",
        code="UPLINK_MIC",
        description="MIC of join-request is invalid, make sure keys are correct",
        context={"deduplication_id": "4e91db13-5ce3-4c8c-ab0f-dfc626cf0771"},
    ),
    "location": _chirpstack(
        "2022-07-18T09:55:11.059481003+00:00",
        deduplicationId="63d870b9-b769-4d88-8b33-8e43f58851a7",
        location={"latitude": 37.344214, "longitude": -8.839375, "altitude": 2},
    ),
    "integration": _chirpstack(
        "2022-07-18T10:02:15.812284501+00:00",
        dev_eui="0016c001f000175a",
        deduplicationId="39c68646-57f7-4973-8ac8-48839b5714d6",
        integrationName="loracloud",
        eventType="modem_UplinkResponse",
        object={
            "stream_records": [[43.0, "0815a7f492bf248575caf492bf248725c874acb96799de"]],
            "dnlink": None,
            "pending_requests": {"id": 10.0, "requests": [], "upcount": 0.0, "updelay": 32.0},
        },
    ),
}


def _things_stack(eui: str | None = "0004A30B001C0530", **fields: Any) -> dict[str, Any]:
    ids = {"device_id": "dev1", "application_ids": {"application_id": "app1"}}
    if eui is not None:
        ids |= {"dev_eui": eui, "join_eui": "800000000000000C", "dev_addr": "00BCB929"}
    return {"end_device_ids": ids, **fields}


_LORA_7 = {"data_rate": {"lora": {"bandwidth": 125000, "spreading_factor": 7}}, "coding_rate": "4/6"}
_LORA_12 = {"data_rate": {"lora": {"bandwidth": 125000, "spreading_factor": 12}}, "coding_rate": "4/5"}
_DOWNLINK = {"f_port": 15, "frm_payload": "vu8=", "confirmed": True, "priority": "NORMAL"}
_ACKED = "as:downlink:01E19B99501X84X6CV471TVSZ1"
_FAILED = "as:downlink:01E19Z5W3BZBG7CXSJE9C0A3CE"

THINGS_STACK: dict[str, dict[str, Any]] = {
    "join_accept": _things_stack(
        correlation_ids=["as:up:01E191YN5F2HMBQCBCVRF731VY", "gs:conn:01E191S6ZEWB630NTR45K5QN4Q"],
        received_at="2020-02-17T07:49:09.935284891Z",
        join_accept={
            "session_key_id": "AXBSH1Pk6Z0G166RlH16CQ==",
            "received_at": "2020-02-17T07:49:09.736532315Z",
            "attributes": {"key1": "value1", "key2": "value2"},
        },
    ),
    "uplink_message": _things_stack(
        correlation_ids=["as:up:01E0WZGT6Y7657CPFPE5WEYDSQ", "gs:conn:01E0WDEC6T5T4XXBAX7S1VMFKE"],
        received_at="2020-02-12T15:15:46.014773143Z",
        uplink_message={
            "session_key_id": "AXA50tHUGUucuzS/bCGMNw==",
            "f_cnt": 1,
            "frm_payload": "gkHe",
            "decoded_payload": {"temperature": 1.0, "luminosity": 0.64},
            "rx_metadata": [
                {
                    "gateway_ids": {"gateway_id": "gtw1", "eui": "9C5C8E00001A05C4"},
                    "time": "2020-02-12T15:15:45.787Z",
                    "timestamp": 2463457000,
                    "rssi": -35,
                    "channel_rssi": -35,
                    "snr": 5,
                    "uplink_token": "ChIKEAoEZ3R3MRIInFyOAAAaBcQQ6L3Vlgk=",
                    "channel_index": 2,
                }
            ],
            "settings": {
                **_LORA_7,
                "frequency": "868300000",
                "timestamp": 2463457000,
                "time": "2020-02-12T15:15:45.787Z",
            },
            "consumed_airtime": "0.056576s",
            "network_ids": {"net_id": "000013", "tenant_id": "tenant1", "cluster_id": "nam1"},
            "received_at": "2020-02-12T15:15:45.789585559Z",
        },
    ),
    "uplink_message of MQTT": _things_stack(
        "4200000000000000",
        correlation_ids=["gs:conn:01D2CSNX7FJVKQPCVG612QF1TX"],
        uplink_message={
            "session_key_id": "AWiZpAyXrAfEkUNkBljRoA==",
            "f_port": 15,
            "frm_payload": "VGVtcGVyYXR1cmUgPSAwLjA=",
            "rx_metadata": [
                {
                    "gateway_ids": {"gateway_id": "eui-0242020000247803", "eui": "0242020000247803"},
                    "time": "2019-01-29T13:02:34.981Z",
                    "timestamp": 1283325000,
                    "rssi": -35,
                    "snr": 5,
                }
            ],
            "settings": {**_LORA_7, "frequency": "868500000", "gateway_channel_index": 2},
        },
    ),
    "downlink_ack": _things_stack(
        correlation_ids=[_ACKED, "as:up:01E19B9J8ED6HZW5CC41KPGHVD"],
        received_at="2020-02-17T10:32:24.590413417Z",
        downlink_ack={
            "session_key_id": "AXBSp8v2brG0jqkri+sIkw==",
            "f_cnt": 1,
            **_DOWNLINK,
            "correlation_ids": [_ACKED],
        },
    ),
    "downlink_failed": _things_stack(
        None,
        correlation_ids=[_FAILED],
        downlink_failed={
            "downlink": {**_DOWNLINK, "correlation_ids": [_FAILED]},
            "error": {
                "namespace": "pkg/networkserver",
                "name": "application_downlink_too_long",
                "message_format": "application downlink payload is too long",
                "correlation_id": "2e7f786912e946e597894e381d0ad7b0",
                "code": 3,
            },
        },
    ),
}


def _stored(f_cnt: int, heard: str, received: str) -> dict[str, Any]:
    """A line of the storage integration's answer."""
    ids = {
        "device_id": "dev1",
        "application_ids": {"application_id": "app1"},
        "dev_eui": "1111111111111111",
        "dev_addr": "014457CB",
    }
    uplink = {
        "session_key_id": "AXPoziFRvbcEguvZQoCCZw==",
        "f_port": 10,
        "f_cnt": f_cnt,
        "frm_payload": "AQoBCgEKAQo=",
        "rx_metadata": [{"gateway_ids": {"gateway_id": "gtw1"}, "time": heard, "timestamp": 3313328983}],
        "settings": {**_LORA_12, "frequency": "868100000", "time": heard},
    }
    return {"result": {"end_device_ids": ids, "received_at": received, "uplink_message": uplink}}


STORED = (
    _stored(43, "2020-08-24T10:08:43.385687165Z", "2020-08-24T10:08:44.868680817Z"),
    _stored(44, "2020-08-24T10:08:48.891099194Z", "2020-08-24T10:08:49.144907967Z"),
)
